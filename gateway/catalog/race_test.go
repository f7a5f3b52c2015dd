//go:build race

package catalog

// raceDetector reports whether the tests run with the race detector, which makes them about
// ten times slower.
const raceDetector = true
