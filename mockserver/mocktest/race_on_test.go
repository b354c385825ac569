//go:build race

package mocktest_test

const raceDetector = true
