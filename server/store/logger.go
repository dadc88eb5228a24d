package store

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger hands the embedded server's lines on. Its chatter is for debugging; what it calls fatal ends the start, and a
// write that failed for good ends the process, since the server itself goes on and answers nothing.
type logger struct {
	log      *slog.Logger
	critical func(error)
}

// Noticef is the server's chatter.
func (l *logger) Noticef(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Debugf is not asked for.
func (l *logger) Debugf(string, ...any) {}

// Tracef is not asked for.
func (l *logger) Tracef(string, ...any) {}

// Warnf logs.
func (l *logger) Warnf(format string, args ...any) { l.log.Warn(fmt.Sprintf(format, args...)) }

// Fatalf logs, and fails the store: the server would not end the process, being inside it.
func (l *logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error(text)
	l.critical(fmt.Errorf("the embedded store: %s", text))
}

// Errorf logs, and fails the store where the error is one that stays.
func (l *logger) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error(text)
	if strings.Contains(strings.ToLower(text), "critical write error") {
		l.critical(fmt.Errorf("--data: %s; a restart is needed, after making room if the disk is full", text))
	}
}
