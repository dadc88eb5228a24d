package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the kernel's CPU times; Linux reports all of them in hundredths of a second.
const tick = 10 * time.Millisecond

// usage is what processes have spent so far, and the memory they have resident now, in bytes.
type usage struct {
	cpu time.Duration
	rss int64
}

// RSS returns the memory that processes and their children have resident now, in bytes. Linux only.
func RSS(pids []int) (int64, error) {
	u, err := readUsage(pids)
	return u.rss, err
}

// readUsage adds up processes and their children. A process that is not there is an error; a child that ended meanwhile
// is not, its time is in its parent's.
func readUsage(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		u, err := readProcess(pid)
		if err != nil {
			return usage{}, fmt.Errorf("process %d: %w", pid, err)
		}
		sum.add(u)
		for _, child := range children(pid) {
			if u, err := readUsage([]int{child}); err == nil {
				sum.add(u)
			}
		}
	}
	return sum, nil
}

func (u *usage) add(v usage) { u.cpu, u.rss = u.cpu+v.cpu, u.rss+v.rss }

// readProcess reads /proc/PID/stat, whose fields are numbered from 1 in proc(5): times of its own are 14 and 15, those of
// children that ended and were waited for 16 and 17, resident pages 24.
func readProcess(pid int) (usage, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The command in field 2 may hold blanks and brackets itself.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	field := func(n int) int64 {
		if n-3 >= len(fields) {
			return 0
		}
		v, _ := strconv.ParseInt(fields[n-3], 10, 64)
		return v
	}
	return usage{
		cpu: time.Duration(field(14)+field(15)+field(16)+field(17)) * tick,
		rss: field(24) * int64(os.Getpagesize()),
	}, nil
}

// children lists a process's children, whichever of its threads started them.
func children(pid int) []int {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	var list []int
	for _, thread := range threads {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		for field := range strings.FieldsSeq(string(raw)) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// peak watches how much memory processes have resident.
type peak struct {
	pids  []int
	bytes int64
}

// watch looks every 50 ms until done is closed.
func (p *peak) watch(done <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if u, err := readUsage(p.pids); err == nil {
				p.bytes = max(p.bytes, u.rss)
			}
		case <-done:
			return
		}
	}
}
