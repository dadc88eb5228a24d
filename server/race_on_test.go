//go:build race

package server_test

// raceDetector: sync.Pool drops a part of what it is given then, at random.
const raceDetector = true
