package server

import (
	"context"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/guest"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"github.com/moorage-dev/moorage/internal/warm"
)

// openDoor opens the socket to which sandboxes' requests to the platform come. Plain processes have
// no addresses of their own, so nothing would come.
func (h *house) openDoor(context.Context) (err error) {
	if h.isolation == sandbox.None {
		return nil
	}
	h.door, err = door.Listen(h.path(doorName), h.Log)
	return err
}

const doorName = "guest.sock"

// serveGuests answers sandboxes until ctx ends.
func (h *house) serveGuests(ctx context.Context) {
	if h.door == nil {
		return
	}
	s := &guest.Server{
		Occupant: h.occupant, Telemetry: h.fromInside(), AWS: h.roleAWS(), Credentials: h.temporary, TokenKey: h.tokenKey, Issued: h.issuedInside,
		Region: h.Region, Account: h.account, Log: h.Log,
		Broker: h.brokers, Brokered: h.vault.Brokered,
	}
	if err := s.Serve(ctx, h.door); err != nil {
		h.Log.Error("sandboxes reach the platform no more", "err", err)
	}
}

// offer is what of an agent's environment leads to the platform's addresses.
func (h *house) offer(v moorage.Version, set map[string]string) map[string]string {
	name, _, _ := strings.Cut(v.RuntimeID, "-") // a name has no hyphen
	env := guest.Environment(name, set)
	if h.control.Injects(v.RuntimeID) {
		maps.Copy(env, guest.Trust(path.Join(warm.TrustDir, trustBundle), set))
	}
	return env
}

// roleAWS serves what an agent's role may call from inside its sandbox: to ask who it is, for
// credentials by its workload's token, Bedrock's questions, and to put log events and metrics; and other agents, with a user's token. What an agent sends is read on the server's account, so it is bounded before anything else.
func (h *house) roleAWS() http.Handler {
	who, bedrock, vault, watch, chat, agents := h.sts(nil), h.bedrockInside(), h.insideVault(), h.watchingInside(), h.chat(), h.agentCore()
	others := h.signed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := identity.CallerOf(r.Context())
		wire.WriteError(w, r, moorage.Errorf(moorage.Denied, "%s is not authorized: from inside a sandbox only GetCallerIdentity of STS, the identity service's tokens, PutLogEvents, PutMetricData, the questions to models and knowledge bases, and calls of other agents with a bearer token are offered", caller.ARN))
	}), wire.WriteError)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case signedFor(r) == "sts":
			who.ServeHTTP(w, r)
		case signedFor(r) == bedrockName:
			bedrock.ServeHTTP(w, r)
		case isChat(r.URL.EscapedPath()):
			chat.ServeHTTP(w, withRequestID(w, r))
		case watch[signedFor(r)] != nil && r.ContentLength >= 0 && r.ContentLength <= maxPut:
			watch[signedFor(r)].ServeHTTP(w, r)
		case passesOn(r) && r.ContentLength >= 0 && r.ContentLength <= maxPayload:
			agents.ServeHTTP(w, r)
		case slices.Contains(insidePaths, r.URL.EscapedPath()) && r.ContentLength >= 0 && r.ContentLength <= maxIdentity:
			vault.ServeHTTP(w, r)
		case r.ContentLength < 0 || r.ContentLength > maxQuery:
			wire.WriteError(w, withRequestID(w, r), moorage.Errorf(moorage.Invalid, "a request may have at most %d bytes here, and has to say how many", maxQuery))
		default:
			others.ServeHTTP(w, withRequestID(w, r))
		}
	})
}

// passesOn reports whether an agent calls another one on behalf of whoever's token it sends. Its role alone calls none: what an agent
// may do without a policy would have no end.
func passesOn(r *http.Request) bool {
	path := r.URL.EscapedPath()
	_, sent := bearerToken(r)
	return sent && r.Method == http.MethodPost && strings.HasPrefix(path, "/runtimes/") && strings.HasSuffix(path, "/invocations")
}

// openTemporary readies what temporary credentials, and the tokens of sandboxes' metadata, are made from.
func (h *house) openTemporary() error {
	key, err := h.store.Key("temporary credentials")
	if err != nil {
		return err
	}
	if h.temporary, err = identity.NewTemporary(key); err != nil {
		return err
	}
	h.temporary.RoleID = h.people.RoleID
	h.tokenKey, err = h.store.Key("metadata tokens")
	return err
}

// occupant says what runs in a sandbox, by the labels that its rooms gave it.
func (h *house) occupant(ctx context.Context, id string) (guest.Occupant, error) {
	box, err := h.shim.Lookup(ctx, id)
	if err != nil {
		return guest.Occupant{}, err
	}
	labels := box.Info().Labels
	runtimeID, number := labels["runtime"], labels["version"]
	for _, group := range []string{"pool", "trial"} {
		if of, ok := labels[group]; ok {
			runtimeID, number, _ = strings.Cut(of, "/")
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return guest.Occupant{}, moorage.Errorf(moorage.NotFound, "sandbox %s runs no version of an agent runtime", id)
	}
	rt, v, err := h.control.Version(runtimeID, n)
	if err != nil {
		return guest.Occupant{}, err
	}
	who := guest.Occupant{
		Sandbox: id, RuntimeID: rt.ID, RuntimeARN: rt.ARN, RuntimeName: rt.Name, Version: n, Role: v.Config.RoleARN,
		Session: labels["session"], Endpoint: labels["endpoint"],
	}
	if info := box.Info(); info.Cloned {
		who.ClonedAt = info.CreatedAt
	}
	return who, nil
}
