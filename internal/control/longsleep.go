package control

import (
	"strconv"
	"strings"
	"time"
)

// TagLongSleep is the tag by which a runtime lets its sessions sleep for longer than their idle timeout and
// maximum lifetime: "12h" or "30d", between an hour and a year. While such a session sleeps neither clock
// runs; after so long in one sleep it ends.
const TagLongSleep = "moorage:long-sleep"

const (
	day          = 24 * time.Hour
	minLongSleep = time.Hour
	maxLongSleep = 365 * day
)

// longSleep reads the tag; 0 without it.
func longSleep(tags map[string]string) (time.Duration, error) {
	value, ok := tags[TagLongSleep]
	if !ok {
		return 0, nil
	}
	number, unit := strings.TrimSuffix(value, "h"), time.Hour
	if days, ok := strings.CutSuffix(value, "d"); ok {
		number, unit = days, day
	}
	n, err := strconv.Atoi(number)
	long := time.Duration(n) * unit
	if err != nil || number == value || n > int(maxLongSleep/time.Hour) || long < minLongSleep || long > maxLongSleep {
		return 0, invalid("tags", "the tag %s is a number of hours or days such as 12h or 30d, a year at most; %q is not", TagLongSleep, value)
	}
	return long, nil
}

// LongSleep is for how long sessions of a runtime may sleep; 0 is no longer than their clocks allow.
func (s *Service) LongSleep(runtimeID string) time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.view[runtimeID]; m != nil {
		return m.longSleep
	}
	return 0
}
