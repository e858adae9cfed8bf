package guest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

// How long credentials are good. Those that a sandbox gets before it has a session are gone before
// something that remembers them can be another sandbox: what a trial start or a pool's sandbox holds is
// frozen, and cloned.
const (
	credentialsLife = 15 * time.Minute
	earlyLife       = time.Minute
)

// RoleName is how the metadata names the role, whatever it is called. Source: AgentCore's own sandboxes.
const RoleName = "execution_role"

// credentialsPath is where a container's credentials are, at door.Credentials. AWS's clients ask there
// when AWS_CONTAINER_CREDENTIALS_RELATIVE_URI says so.
const credentialsPath = "/credentials"

// The headers of version 2 of the metadata service. Source: Amazon EC2 user guide, "Use the Instance
// Metadata Service to access instance metadata".
const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTTL      = 21600 // seconds
)

// metadata serves both addresses: the machine's metadata, version 2 only, and a container's credentials.
func (s *Server) metadata() http.Handler {
	machine := http.NewServeMux()
	machine.HandleFunc("PUT /latest/api/token", s.newToken)
	machine.HandleFunc("GET /latest/", s.readMetadata)
	container := http.NewServeMux()
	container.HandleFunc("GET "+credentialsPath, s.containerCredentials)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		// By name means that a page or a hostile resolver led here; forwarded, that somebody else asks.
		host := hostOf(r)
		switch {
		case r.Header.Get("X-Forwarded-For") != "":
			s.refuse(w, r, moorage.Errorf(moorage.Denied, "forwarded requests are not answered"))
		case host == door.Addr.String():
			machine.ServeHTTP(w, r)
		case host == door.Credentials.String():
			container.ServeHTTP(w, r)
		default:
			s.refuse(w, r, moorage.Errorf(moorage.Denied, "ask by address, %s, and not as %q", door.Addr, host))
		}
	})
}

func hostOf(r *http.Request) string {
	if host, port, err := net.SplitHostPort(r.Host); err == nil && port == strconv.Itoa(door.Metadata) {
		return host
	}
	return r.Host
}

// newToken begins a metadata session. That it has to be asked for by PUT, with a header, keeps out what
// an agent can be talked into fetching.
func (s *Server) newToken(w http.ResponseWriter, r *http.Request) {
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTTL {
		s.refuse(w, r, moorage.Errorf(moorage.Invalid, "%s has to be a number of seconds from 1 to %d", ttlHeader, maxTTL))
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	io.WriteString(w, s.tokenFor(OccupantOf(r.Context()).Sandbox, time.Now().Add(time.Duration(ttl)*time.Second)))
}

// tokenFor is good for one sandbox, and known again by whoever has the key: nothing is kept.
func (s *Server) tokenFor(sandbox string, until time.Time) string {
	stamp := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	h := hmac.New(sha256.New, s.TokenKey)
	h.Write(stamp)
	io.WriteString(h, sandbox)
	return base64.RawURLEncoding.EncodeToString(h.Sum(stamp))
}

func (s *Server) knowsToken(token, sandbox string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 8 {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)
	return now.Before(until) && hmac.Equal([]byte(token), []byte(s.tokenFor(sandbox, until)))
}

func (s *Server) readMetadata(w http.ResponseWriter, r *http.Request) {
	who := OccupantOf(r.Context())
	if !s.knowsToken(r.Header.Get(tokenHeader), who.Sandbox, time.Now()) {
		s.refuse(w, r, moorage.Errorf(moorage.Unauthenticated, "ask for a token first: PUT /latest/api/token, and send it in %s", tokenHeader))
		return
	}
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/latest"), "/")
	if path == "meta-data/iam/security-credentials/"+RoleName {
		s.machineCredentials(w, r, who)
		return
	}
	text, ok := s.entries(who)[path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, text)
}

// entries are the metadata that a machine has, as far as it makes sense here. Directories list what is
// in them. Nothing tells two sessions of a runtime apart: agents keep what they read here, and several
// may go on from one frozen moment.
func (s *Server) entries(who Occupant) map[string]string {
	zone := s.Region + "a"
	return map[string]string{
		"":                                      "dynamic/\nmeta-data/",
		"meta-data":                             "iam/\ninstance-id\nplacement/",
		"meta-data/iam":                         "security-credentials/",
		"meta-data/iam/security-credentials":    RoleName,
		"meta-data/instance-id":                 instanceID(who),
		"meta-data/placement":                   "availability-zone\nregion",
		"meta-data/placement/availability-zone": zone,
		"meta-data/placement/region":            s.Region,
		"dynamic":                               "instance-identity/",
		"dynamic/instance-identity":             "document",
		"dynamic/instance-identity/document": asJSON(map[string]string{
			"accountId": s.Account, "region": s.Region, "availabilityZone": zone, "instanceId": instanceID(who), "version": "2017-09-30",
		}),
	}
}

// instanceID has AWS's form, and is one for all sessions of a runtime.
func instanceID(who Occupant) string {
	sum := sha256.Sum256([]byte(who.RuntimeARN))
	return "i-" + hex.EncodeToString(sum[:])[:17]
}

// issue makes credentials of the occupant's role.
func (s *Server) issue(ctx context.Context, who Occupant) (identity.Credentials, error) {
	if s.Issued != nil {
		if err := s.Issued(ctx, who); err != nil {
			return identity.Credentials{}, err
		}
	}
	life := credentialsLife
	if who.Session == "" {
		life = earlyLife
	}
	return s.Credentials.Issue(who.workload(), time.Now().Add(life))
}

func (o Occupant) workload() identity.Workload {
	return identity.Workload{Sandbox: o.Sandbox, Role: o.Role, Session: o.Session}
}

// issued is the document that AWS's clients read. A container's has RoleArn, a machine's the rest.
type issued struct {
	Code            string `json:",omitempty"`
	LastUpdated     string `json:",omitempty"`
	Type            string `json:",omitempty"`
	RoleArn         string `json:",omitempty"`
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      string // without fractions: botocore reads no others
}

func (s *Server) machineCredentials(w http.ResponseWriter, r *http.Request, who Occupant) {
	s.writeCredentials(w, r, who, issued{Code: "Success", LastUpdated: stamp(time.Now()), Type: "AWS-HMAC"})
}

func (s *Server) containerCredentials(w http.ResponseWriter, r *http.Request) {
	who := OccupantOf(r.Context())
	s.writeCredentials(w, r, who, issued{RoleArn: who.Role})
}

func (s *Server) writeCredentials(w http.ResponseWriter, r *http.Request, who Occupant, doc issued) {
	c, err := s.issue(r.Context(), who)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	doc.AccessKeyID, doc.SecretAccessKey, doc.Token, doc.Expiration = c.AccessKeyID, c.SecretAccessKey, c.SessionToken, stamp(c.Expires)
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, asJSON(doc))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func asJSON(v any) string {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings do not fail
	}
	return string(doc)
}
