//go:build race

package gateway

// raceDetector: the tests run with it. It makes allocations of its own.
const raceDetector = true
