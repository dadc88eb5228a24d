package main

import (
	"os/exec"
	"syscall"
)

// endWith has a process end when the test binary does, however that comes about.
func endWith(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
