//go:build race

package catalog

// raceDetector: the tests run with it. It slows what they compute ten times.
const raceDetector = true
