package warm

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Pools keeps sandboxes ready ahead of need, so that a session starts in milliseconds. Each was started
// afresh, or cloned from its version's golden, answered ping once and was then paused:
//
//	fill ──▶ ready (paused) ──Take──▶ a session's, and never a pool's again
//	             │
//	             └──▶ removed: its version is live on no endpoint, demand fell, it died
//
// Beside these, a version that has a golden and sees demand has one engine that is booted and waits for
// it: a session that finds nothing ready is restored into that, see ahead.go.
//
// A pool is as large as its version's demand asks (see demand), between the runtime's floor and
// Ceiling. All pools together stay inside Budget and Room; within these, the pool that lacks most is
// filled first. Fills run in the background, one per two processors, and wait while sessions start.
//
// Versions with session storage have no pool, since mounts are bound when a sandbox is created, and
// neither have plain processes, which would hold the host's ports. Ready sandboxes outlive a server
// in their shim: the next one adopts those that are what it would have started itself.
//
// The zero value with a Starter works, and so does nil, which keeps none. Its exported fields are set
// before the first call.
type Pools struct {
	Starter *Starter
	Ceiling int        // of one version; 0 is 8, at most 64, below 0 none
	Budget  int64      // bytes of memory for all ready sandboxes; 0 is a quarter of what is available at first use
	Room    func() int // how many more sandboxes there may be; nil is no bound
	Log     *slog.Logger

	mu       sync.Mutex
	pools    map[poolKey]*pool
	dropped  []*pool // on their way out
	rounds   *lazy.Ticker
	filling  int  // sandboxes that are being started, for pools and for goldens
	freezing bool // one of them is for a golden
	closed   bool
	work     sync.WaitGroup // what ends with Run
}

const (
	defaultCeiling = 8
	maxCeiling     = 64
	budgetShare    = 4                // a quarter
	guessedCost    = 64 << 20         // bytes, of a version that was not measured yet
	keepEvery      = 10 * time.Second // while a pool changes
	lookEvery      = 30 * time.Second // while none does: whether there is still room for what is ready
)

// poolKey names the version that a pool is of.
type poolKey struct {
	runtimeID string
	number    int
}

func (k poolKey) String() string { return fmt.Sprintf("%s/%d", k.runtimeID, k.number) }

// pool is the ready sandboxes of one version. Its fields belong to Pools.mu.
type pool struct {
	key     poolKey
	version moorage.Version
	set     Settings
	ready   []*ready // oldest first
	filling int
	demand  demand
	cost    int64 // bytes of one ready sandbox, as measured last; 0 before
	retry   retry
	ahead   ahead

	ctx     context.Context // of its fills and watchers
	cancel  context.CancelFunc
	work    sync.WaitGroup // fills, watchers and removals
	dropped bool
	gone    chan struct{} // closed once dropped and nothing is left
}

// ready is one paused sandbox of a pool.
type ready struct {
	agent  *Agent
	bytes  int64
	cancel context.CancelFunc // of its watcher
}

func (p *Pools) start() {
	if p.pools == nil {
		p.pools, p.rounds = map[poolKey]*pool{}, lazy.NewTicker(keepEvery)
		p.Ceiling = min(cmp.Or(p.Ceiling, defaultCeiling), maxCeiling)
		p.Budget = cmp.Or(p.Budget, availableMemory()/budgetShare)
		if p.Log == nil {
			p.Log = slog.New(slog.DiscardHandler)
		}
	}
}

func (p *Pools) kick() { p.rounds.Hurry() }

// Settings are what a runtime's owner says about how its sessions start.
type Settings struct {
	Floor  int    // the least sandboxes that are to be ready of each live version
	WarmUp WarmUp // before a golden is frozen
	Fresh  bool   // no clones: every sandbox is started afresh
}

// Serve says which versions of a runtime are live on an endpoint, and how its sessions shall start. The
// pools and goldens of its other versions are dropped.
func (p *Pools) Serve(runtimeID string, set Settings, live []moorage.Version) {
	if p == nil {
		return
	}
	if err := removeGoldens(p.serve(runtimeID, set, live)); err != nil {
		p.Log.Error("remove golden snapshots", "runtime", runtimeID, "err", err)
	}
}

// serve is Serve but for the goldens that are to be removed, which it returns.
func (p *Pools) serve(runtimeID string, set Settings, live []moorage.Version) (stale []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start()
	if p.closed {
		return nil // what is ready is for the next server to judge
	}
	keep, clone := map[poolKey]bool{}, map[poolKey]bool{}
	for _, v := range live {
		key := poolKey{v.RuntimeID, v.Number}
		if !p.canPool(v) {
			continue
		}
		keep[key] = true
		p.serveOne(key, v, set)
		if p.Starter.canClone(v, set) {
			clone[key] = true
			stale = append(stale, p.Starter.Goldens.serve(key, p.Starter.goldenDir(v, set.WarmUp))...)
		}
	}
	for key, q := range p.pools {
		if key.runtimeID == runtimeID && !keep[key] {
			p.drop(q)
		}
	}
	p.kick()
	return append(stale, p.Starter.Goldens.dropOthers(runtimeID, clone)...)
}

func (p *Pools) canPool(v moorage.Version) bool {
	return p.Ceiling > 0 && v.Program != nil && v.Config.Storage == "" && p.Starter.Isolation != sandbox.None
}

func (p *Pools) serveOne(key poolKey, v moorage.Version, set Settings) {
	q := p.pools[key]
	if q == nil {
		q = &pool{key: key, version: v, gone: make(chan struct{})}
		q.ctx, q.cancel = context.WithCancel(context.Background())
		p.pools[key] = q
	}
	q.set = set
}

// drop ends a pool; q.gone tells when nothing is left of it. The caller holds mu.
func (p *Pools) drop(q *pool) {
	delete(p.pools, q.key)
	q.dropped = true
	q.cancel()
	for _, r := range q.ready {
		p.remove(q, r)
	}
	q.ready = nil
	p.removeAhead(q)
	p.dropped = append(slices.DeleteFunc(p.dropped, (*pool).isGone), q)
	p.work.Go(func() {
		q.work.Wait()
		close(q.gone)
	})
}

func (q *pool) isGone() bool {
	select {
	case <-q.gone:
		return true
	default:
		return false
	}
}

// Drop ends a runtime's pools and returns once nothing of them is left.
func (p *Pools) Drop(ctx context.Context, runtimeID string) error {
	if p == nil {
		return nil
	}
	p.Serve(runtimeID, Settings{}, nil)
	p.mu.Lock()
	leaving := slices.Clone(p.dropped)
	p.mu.Unlock()
	for _, q := range leaving {
		if q.key.runtimeID != runtimeID {
			continue
		}
		select {
		case <-q.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.Starter.Goldens.settled(ctx, runtimeID)
}

// PoolState is how a pool stands.
type PoolState struct {
	Version         int
	Ready           int
	Filling         int
	Ahead           bool // an engine is booted and waits for the golden
	Want            int
	Floor           int
	StartsPerMinute float64       // as seen lately
	Refill          time.Duration // from a sandbox being asked for to the next being ready; 0 before the first
	MemoryBytes     int64         // of the ready ones
	Problem         string        // why the last fill failed; empty when it did not
	Golden          GoldenState   // of the version; empty where it shall have none
	GoldenProblem   string        // why there is no golden; empty when there is
}

// State returns the pools of a runtime, the newest version first.
func (p *Pools) State(runtimeID string) (out []PoolState) {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for key, q := range p.pools {
		if key.runtimeID != runtimeID {
			continue
		}
		golden, why := p.Starter.Goldens.state(key)
		out = append(out, PoolState{
			Golden: golden, GoldenProblem: why,
			Version: key.number, Ready: len(q.ready), Filling: q.filling, Ahead: q.ahead.waits(), Want: p.want(q, now), Floor: q.set.Floor,
			StartsPerMinute: 60 * q.demand.rateAt(now), Refill: time.Duration(q.demand.refill * float64(time.Second)),
			MemoryBytes: q.bytes(), Problem: q.retry.problem,
		})
	}
	slices.SortFunc(out, func(a, b PoolState) int { return b.Version - a.Version })
	return out
}

func (p *Pools) want(q *pool, now time.Time) int { return q.demand.want(now, q.set.Floor, p.Ceiling) }

func (q *pool) bytes() (sum int64) {
	for _, r := range q.ready {
		sum += r.bytes
	}
	return sum + q.ahead.bytes()
}

// Run adopts what an earlier server left ready, and keeps the pools filled until ctx ends. Ready
// sandboxes then stay in their shim. Sessions of an earlier server are recovered before it is called:
// what no session claims is the pools'.
func (p *Pools) Run(ctx context.Context) {
	p.mu.Lock()
	p.start()
	p.mu.Unlock()
	p.adopt(ctx)
	if err := p.Starter.Goldens.sweep(); err != nil {
		p.Log.Error("remove old golden snapshots", "err", err)
	}
	p.kick()
	p.rounds.Run(ctx, func() time.Duration {
		now := time.Now()
		p.keep(now)
		return p.next(now)
	})
	p.leave()
}

// next is when the pools have to be seen to again unless something happens before; 0 is never.
func (p *Pools) next(now time.Time) (in time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.pools {
		switch golden, _ := p.Starter.Goldens.state(q.key); {
		case !q.demand.quiet(now), q.filling > 0, len(q.ready) != p.want(q, now), !golden.settled():
			return keepEvery
		case len(q.ready)+q.ahead.count() > 0:
			in = lookEvery
		}
	}
	return in
}

// leave stops filling and watching, and waits until that stopped.
func (p *Pools) leave() {
	p.mu.Lock()
	p.closed = true
	left := slices.Collect(maps.Values(p.pools))
	for _, q := range left {
		q.cancel()
	}
	p.mu.Unlock()
	p.Starter.Goldens.leave()
	for _, q := range left {
		q.work.Wait()
	}
	p.work.Wait()
}

// keep brings the pools to their sizes: what is too much goes, what lacks is begun.
func (p *Pools) keep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.pools {
		for len(q.ready) > p.want(q, now) {
			p.removeOldest(q)
		}
		if q.ahead.waits() && !p.wantsAhead(q, now) {
			p.removeAhead(q)
		}
	}
	for p.over() {
		q, r := p.giveUpOne()
		if q == nil {
			break
		}
		p.remove(q, r)
	}
	p.freezeNext(now)
	for p.filling < fillers() {
		q := p.neediest(now)
		if q == nil {
			p.bootNext(now)
			return
		}
		q.filling++
		p.filling++
		q.work.Go(func() { p.fill(q) })
	}
}

// freezeNext begins a golden that is missing, one at a time. A pool that is empty comes first: sessions
// wait for that.
func (p *Pools) freezeNext(now time.Time) {
	if _, n := p.held(); p.freezing || p.filling >= fillers() || n >= p.room() {
		return
	}
	for _, q := range p.pools {
		if len(q.ready) == 0 && p.want(q, now) > 0 && p.neediest(now) != nil {
			continue
		}
		if ctx, g := p.Starter.Goldens.begin(q.key, now); g != nil {
			p.freezing = true
			p.filling++
			w := q.set.WarmUp
			q.work.Go(func() { p.freeze(ctx, q, g, w) })
			return
		}
	}
}

func fillers() int { return max(1, runtime.NumCPU()/2) }

// over says that there are more ready sandboxes than memory or the machine's limit have room for:
// sessions that started cold took it.
func (p *Pools) over() bool {
	bytes, n := p.held()
	return bytes > p.Budget || n > 0 && p.room() < n
}

// held is what the ready sandboxes and those that are being filled take.
func (p *Pools) held() (bytes int64, n int) {
	for _, q := range p.pools {
		bytes += q.bytes() + int64(q.filling)*q.estimate()
		n += len(q.ready) + q.filling + q.ahead.count()
	}
	return bytes, n
}

// room is how many sandboxes there may be beside those of sessions.
func (p *Pools) room() int {
	if p.Room == nil {
		return len(p.pools) * maxCeiling
	}
	return p.Room()
}

func (q *pool) estimate() int64 { return cmp.Or(q.cost, guessedCost) }

func (p *Pools) largest() (most *pool) {
	for _, q := range p.pools {
		if len(q.ready) > 0 && (most == nil || q.bytes() > most.bytes()) {
			most = q
		}
	}
	return most
}

// neediest is the pool that lacks most of what may be started now; nil when none lacks any.
func (p *Pools) neediest(now time.Time) (most *pool) {
	bytes, n := p.held()
	if n >= p.room() {
		return nil
	}
	lack := 0
	for _, q := range p.pools {
		l := p.want(q, now) - len(q.ready) - q.filling
		if l > lack && bytes+q.estimate() <= p.Budget && q.retry.due(now) {
			most, lack = q, l
		}
	}
	return most
}

// giveUpOne takes off what is missed least: an engine that waits, then the oldest of the largest pool. It is
// the caller's to end; nil when there is none.
func (p *Pools) giveUpOne() (*pool, *ready) {
	for _, q := range p.pools {
		if r := q.ahead.engine; r != nil {
			q.ahead = ahead{}
			return q, r
		}
	}
	q := p.largest()
	if q == nil {
		return nil, nil
	}
	r := q.ready[0]
	q.ready = q.ready[1:]
	return q, r
}

func (p *Pools) removeOldest(q *pool) {
	r := q.ready[0]
	q.ready = q.ready[1:]
	p.remove(q, r)
}
