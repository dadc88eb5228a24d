//go:build !unix

package store

import "errors"

// diskSpace is not known here; a full disk is noticed by the write that fails.
func diskSpace(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
