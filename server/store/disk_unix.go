//go:build unix

package store

import "golang.org/x/sys/unix"

// diskSpace returns the free and the whole space, in bytes, of the disk that holds a folder.
func diskSpace(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	size := uint64(st.Bsize)
	return st.Bavail * size, st.Blocks * size, nil
}
