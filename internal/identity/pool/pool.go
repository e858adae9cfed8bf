package pool

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// Service holds the user pools of one server. Set the exported fields, then Load it; it may be used concurrently.
type Service struct {
	Store           *store.DB
	Key             []byte // 32 bytes, seals refresh tokens
	Region, Account string
	PublicURL       string           // where this server is reached, without a slash at the end
	Now             func() time.Time // default time.Now
	// Note is told of every sign-in, refusal and token before anybody else; its error stops them. Nil is nobody.
	Note func(context.Context, Event) error

	writing  sync.Mutex // held by whoever changes a pool
	mu       sync.RWMutex
	pools    map[string]*state
	clients  map[string]*Client // of all pools
	domains  map[string]string  // to pools
	aead     cipher.AEAD
	hashing  chan struct{}
	waiting  chan struct{}
	nobody   string // a hash of no user's password
	attempts attempts
	codes    codes
}

// Event is something that an administrator wants to know of later.
type Event struct {
	Token   bool   // tokens were issued; else somebody proved, or did not prove, who they are
	Action  string // service:Operation
	Pool    string
	Client  string
	User    string // sub; empty for a name that nobody has
	Refused error
}

// Pool is a user pool.
type Pool struct {
	ID        string // REGION_ and nine letters and digits
	Name      string
	Created   time.Time
	Passwords PasswordPolicy
	FoldNames bool // user names are the same in any case
	Protected bool // is not deleted
	Custom    []string
	Required  []string        // attributes that every user has
	Shown     json.RawMessage // as the API describes it, beside the above
}

// Client is an application that users sign in by.
type Client struct {
	ID, Pool, Name   string
	Secret           string // empty for a public one
	Created, Changed time.Time
	Flows            []string      // as in ExplicitAuthFlows, each with its ALLOW_
	Access, Identity time.Duration // lives of its tokens
	Refresh          time.Duration
	HideUsers        bool     // whether a user exists does not show
	OAuth            []string // code, client_credentials
	Scopes           []string
	Callbacks        []string
	Shown            json.RawMessage
}

// User is somebody who signs in.
type User struct {
	Name, Sub        string
	Hash             string // argon2id; empty for one without a password
	Temporary        bool   // the password has to be replaced
	PasswordSet      time.Time
	Created, Changed time.Time
	Attributes       []Attribute
}

// Attribute is one thing that is known of a user. Source of names: OpenID Connect Core, 5.1.
type Attribute struct{ Name, Value string }

// Server is a resource server: what clients may be allowed to use, by scope.
type Server struct {
	ID, Name string
	Scopes   []Scope
}

// Scope of a resource server; a token has it as SERVER/NAME.
type Scope struct{ Name, Description string }

// state is a pool with all that is in it. Values are replaced, never changed: readers keep what they got.
type state struct {
	Pool
	keys    keys
	users   map[string]*User
	servers map[string]Server
	domain  string
}

// Kinds of items in the store.
const (
	kindPool, kindKeys, kindClient, kindUser, kindServer, kindDomain = "pool", "keys", "client", "user", "server", "domain"
)

// Quotas. Source: Amazon Cognito, quotas on resources.
const (
	maxPools   = 1000
	maxClients = 1000 // of a pool
	maxServers = 25   // of a pool
)

// named is an error by the exception that clients branch on.
func named(code moorage.Code, exception, format string, args ...any) *moorage.Error {
	e := moorage.Errorf(code, format, args...)
	e.Exception = exception
	return e
}

func invalid(format string, args ...any) error {
	return named(moorage.Invalid, "InvalidParameterException", format, args...)
}

func missing(format string, args ...any) error {
	return named(moorage.NotFound, "ResourceNotFoundException", format, args...)
}

// Load reads every pool.
func (s *Service) Load(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	var items []store.PoolItem
	if err := s.Store.View(ctx, func(tx *store.Tx) (err error) { items, err = tx.PoolItems(); return err }); err != nil {
		return err
	}
	s.pools, s.clients, s.domains = map[string]*state{}, map[string]*Client{}, map[string]string{}
	for _, i := range items {
		if err := s.take(i); err != nil {
			return fmt.Errorf("user pool %s: %s %s: %w", i.Pool, i.Kind, i.Name, err)
		}
	}
	return nil
}

func (s *Service) take(i store.PoolItem) error {
	p := s.pools[i.Pool]
	if p == nil {
		p = &state{users: map[string]*User{}, servers: map[string]Server{}}
		s.pools[i.Pool] = p
	}
	switch i.Kind {
	case kindPool:
		return json.Unmarshal(i.Doc, &p.Pool)
	case kindKeys:
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(i.Doc, &set); err != nil {
			return err
		}
		p.keys = keys(set.Keys)
	case kindClient:
		c := new(Client)
		s.clients[i.Name] = c
		return json.Unmarshal(i.Doc, c)
	case kindUser:
		u := new(User)
		p.users[i.Name] = u
		return json.Unmarshal(i.Doc, u)
	case kindServer:
		var r Server
		if err := json.Unmarshal(i.Doc, &r); err != nil {
			return err
		}
		p.servers[i.Name] = r
	case kindDomain:
		p.domain, s.domains[i.Name] = i.Name, i.Pool
	}
	return nil
}

// put writes one item.
func (s *Service) put(ctx context.Context, pool, kind, name string, v any) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return putItem(tx, pool, kind, name, v) })
}

func putItem(tx *store.Tx, pool, kind, name string, v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.PutPoolItem(store.PoolItem{Pool: pool, Kind: kind, Name: name, Doc: doc})
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// CreatePool makes a pool with keys of its own. Its ID and times are set here.
func (s *Service) CreatePool(ctx context.Context, p Pool) (Pool, error) {
	made, err := newKeys()
	if err != nil {
		return Pool{}, err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if len(s.Pools()) >= maxPools {
		return Pool{}, named(moorage.Quota, "LimitExceededException", "there are %d user pools, which is as many as may be: delete one", maxPools)
	}
	p.ID, p.Created = s.Region+"_"+letters(9, mixed), s.now().UTC()
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := putItem(tx, p.ID, kindPool, "", p); err != nil {
			return err
		}
		return putItem(tx, p.ID, kindKeys, "", jose.JSONWebKeySet{Keys: made})
	})
	if err != nil {
		return Pool{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools[p.ID] = &state{Pool: p, keys: made, users: map[string]*User{}, servers: map[string]Server{}}
	return p, nil
}

// Alphabets of identifiers.
const (
	lower = "abcdefghijklmnopqrstuvwxyz0123456789"
	mixed = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lower
)

// letters is a random text; of 62 letters each has almost six bits.
func letters(n int, alphabet string) string {
	out := make([]byte, 0, n)
	for b := make([]byte, 1); len(out) < n; {
		rand.Read(b)
		if limit := 256 - 256%len(alphabet); int(b[0]) < limit {
			out = append(out, alphabet[int(b[0])%len(alphabet)])
		}
	}
	return string(out)
}

// newKeys are for access tokens and for identity tokens.
func newKeys() (out keys, err error) {
	for range 2 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		out = append(out, jose.JSONWebKey{Key: key, KeyID: uuid.NewString(), Algorithm: string(jose.RS256), Use: "sig"})
	}
	return out, nil
}

// state returns a pool with all that is in it. The caller does not hold mu.
func (s *Service) state(id string) (*state, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.pools[id]
	if p == nil {
		return nil, missing("User pool %s does not exist.", id)
	}
	return p, nil
}

// View is a pool as it is looked at.
type View struct {
	Pool
	ARN, Domain string
	Users       int
}

func (s *Service) view(p *state) View {
	arn := moorage.ARN{Partition: "aws", Service: "cognito-idp", Region: s.Region, Account: s.Account, Resource: "userpool/" + p.ID}
	return View{p.Pool, arn.String(), p.domain, len(p.users)}
}

// Pool returns one pool.
func (s *Service) Pool(id string) (View, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.pools[id]
	if p == nil {
		return View{}, missing("User pool %s does not exist.", id)
	}
	return s.view(p), nil
}

// Pools returns every pool, by name.
func (s *Service) Pools() []View {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]View, 0, len(s.pools))
	for _, p := range s.pools {
		out = append(out, s.view(p))
	}
	slices.SortFunc(out, func(a, b View) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return out
}

// DeletePool removes a pool with its users, clients and keys; its tokens are no good from then on.
func (s *Service) DeletePool(ctx context.Context, id string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	p, err := s.state(id)
	switch {
	case err != nil:
		return err
	case p.Protected:
		return invalid("The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first.")
	case p.domain != "":
		return invalid("User pool cannot be deleted. It has a domain configured that should be deleted first.")
	}
	if err := s.Store.Update(ctx, func(tx *store.Tx) error { return tx.DeletePool(id) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pools, id)
	for name, c := range s.clients {
		if c.Pool == id {
			delete(s.clients, name)
		}
	}
	return nil
}

// ClientOf returns a client of a pool.
func (s *Service) ClientOf(pool, id string) (Client, error) {
	if _, err := s.state(pool); err != nil {
		return Client{}, err
	}
	c, err := s.client(id)
	if err != nil || c.Pool != pool {
		return Client{}, missing("User pool client %s does not exist.", id)
	}
	return *c, nil
}

func (s *Service) client(id string) (*Client, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.clients[id]
	if c == nil {
		return nil, missing("User pool client %s does not exist.", id)
	}
	return c, nil
}

// Clients returns those of a pool, by name.
func (s *Service) Clients(pool string) ([]Client, error) {
	if _, err := s.state(pool); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []Client{}
	for _, c := range s.clients {
		if c.Pool == pool {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b Client) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return out, nil
}

// PutClient writes a client: a new one where c has no ID. With secret a new one gets a secret.
func (s *Service) PutClient(ctx context.Context, c Client, secret bool) (Client, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	p, err := s.state(c.Pool)
	if err != nil {
		return Client{}, err
	}
	if err := c.check(p); err != nil {
		return Client{}, err
	}
	c.Changed = s.now().UTC()
	if c.ID == "" {
		if have, _ := s.Clients(c.Pool); len(have) >= maxClients {
			return Client{}, named(moorage.Quota, "LimitExceededException", "the user pool has %d clients, which is as many as may be: delete one", maxClients)
		}
		c.ID, c.Created = letters(26, lower), c.Changed
		if secret {
			c.Secret = letters(51, lower)
		}
	} else {
		old, err := s.ClientOf(c.Pool, c.ID)
		if err != nil {
			return Client{}, err
		}
		c.Secret, c.Created = old.Secret, old.Created
	}
	if slices.Contains(c.OAuth, "client_credentials") && c.Secret == "" {
		return Client{}, named(moorage.Invalid, "InvalidOAuthFlowException", "client_credentials flow can not be selected if client does not have a client secret.")
	}
	if err := s.put(ctx, c.Pool, kindClient, c.ID, c); err != nil {
		return Client{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c.ID] = &c
	return c, nil
}

// SetDomain gives a pool the prefix of its login pages' host.
func (s *Service) SetDomain(ctx context.Context, pool, domain string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	p, err := s.state(pool)
	if err != nil {
		return err
	}
	if _, taken := s.DomainPool(domain); taken {
		return invalid("Domain already associated with another user pool.")
	}
	if p.domain != "" {
		return invalid("User pool already has a domain configured.")
	}
	if err := s.put(ctx, pool, kindDomain, domain, true); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.domain, s.domains[domain] = domain, pool
	return nil
}

// DomainPool returns the pool that a domain is of.
func (s *Service) DomainPool(domain string) (pool string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	pool, ok = s.domains[domain]
	return pool, ok
}

// DeleteDomain takes a pool's domain away.
func (s *Service) DeleteDomain(ctx context.Context, pool, domain string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	p, err := s.state(pool)
	if err != nil {
		return err
	}
	if has, _ := s.DomainPool(domain); has != pool {
		return invalid("No such domain or user pool exists.")
	}
	if err := s.Store.Update(ctx, func(tx *store.Tx) error { return tx.DeletePoolItem(pool, kindDomain, domain) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.domain = ""
	delete(s.domains, domain)
	return nil
}

// AddServer makes a resource server.
func (s *Service) AddServer(ctx context.Context, pool string, r Server) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	p, err := s.state(pool)
	if err != nil {
		return err
	}
	if _, taken := p.servers[r.ID]; taken {
		return invalid("%s already exists in user pool %s.", r.ID, pool)
	}
	if len(p.servers) >= maxServers {
		return named(moorage.Quota, "LimitExceededException", "the user pool has %d resource servers, which is as many as may be", maxServers)
	}
	if err := s.put(ctx, pool, kindServer, r.ID, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.servers[r.ID] = r
	return nil
}
