package store

import "time"

// LogGroup is a log group that somebody made.
type LogGroup struct {
	Name      string
	CreatedAt time.Time
	Retention int // days; 0 is for as long as telemetry is kept
}

// LogGroups returns all log groups, by name.
func (tx *Tx) LogGroups() ([]LogGroup, error) {
	return all(tx, func(r row) (g LogGroup, err error) {
		var created int64
		err = r.Scan(&g.Name, &created, &g.Retention)
		g.CreatedAt = fromNanos(created)
		return g, err
	}, "SELECT name, created_at, retention FROM log_groups ORDER BY name")
}

// PutLogGroup writes a log group.
func (tx *Tx) PutLogGroup(g LogGroup) error {
	return tx.exec("INSERT INTO log_groups VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET retention = excluded.retention", g.Name, nanos(g.CreatedAt), g.Retention)
}

// DeleteLogGroup removes a log group and its streams; false when there was none.
func (tx *Tx) DeleteLogGroup(name string) (bool, error) {
	if err := tx.exec("DELETE FROM log_streams WHERE log_group = ?", name); err != nil {
		return false, err
	}
	return tx.changed("DELETE FROM log_groups WHERE name = ?", name)
}

// LogStream is a log stream that somebody made.
type LogStream struct {
	Group, Name string
	CreatedAt   time.Time
}

// LogStreams returns the streams of a group, by name.
func (tx *Tx) LogStreams(group string) ([]LogStream, error) {
	return all(tx, func(r row) (s LogStream, err error) {
		var created int64
		err = r.Scan(&s.Group, &s.Name, &created)
		s.CreatedAt = fromNanos(created)
		return s, err
	}, "SELECT log_group, name, created_at FROM log_streams WHERE log_group = ? ORDER BY name", group)
}

// PutLogStream writes a stream; false when it was there.
func (tx *Tx) PutLogStream(s LogStream) (bool, error) {
	return tx.changed("INSERT OR IGNORE INTO log_streams VALUES (?, ?, ?)", s.Group, s.Name, nanos(s.CreatedAt))
}

// DeleteLogStream removes a stream; false when there was none.
func (tx *Tx) DeleteLogStream(group, name string) (bool, error) {
	return tx.changed("DELETE FROM log_streams WHERE log_group = ? AND name = ?", group, name)
}
