package main

import (
	"os/exec"
	"syscall"
)

// endWith has a process end when the command is killed.
func endWith(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
