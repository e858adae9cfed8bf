package invoke

import (
	"sync/atomic"
)

// allowance is a number of bytes that several streams may use up together.
type allowance struct {
	bytes int64
	used  atomic.Int64
	spent atomic.Bool
}

// take uses n bytes and reports whether they were left.
func (a *allowance) take(n int) bool {
	if a.used.Add(int64(n)) > a.bytes {
		a.spent.Store(true)
		return false
	}
	return true
}
