package jobs

import "sync"

// Memo keeps what one event is turned into for many watchers, so that it is done once.
type Memo struct {
	forms [Forms]struct {
		once  sync.Once
		value any
	}
}

// Forms is how many different things an event can be turned into.
const Forms = 4

// Get returns the event's form of a kind, made by the first who asks. What it returns is shared and must not be changed.
// Without a memo, on nil, it is made each time.
func (m *Memo) Get(form int, make func() any) any {
	if m == nil {
		return make()
	}
	f := &m.forms[form]
	f.once.Do(func() { f.value = make() })
	return f.value
}
