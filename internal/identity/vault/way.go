package vault

import "net/http"

// checkWay holds the private endpoints of a client against those that there are.
func (v *Vault) checkWay(c Client) error {
	const member = "oauth2ProviderConfigInput.customOauth2ProviderConfig"
	at := member + ".oauthDiscovery.discoveryUrl"
	if c.Server.DiscoveryURL == "" {
		at = member + ".oauthDiscovery.authorizationServerMetadata.tokenEndpoint"
	}
	return v.Endpoints.Check(member, at, v.way(c))
}

// clientOf is what asks a provider, by the way that it is reached.
func (v *Vault) clientOf(c Client) (*http.Client, error) {
	if c.Private == nil {
		return v.Client, nil
	}
	key := v.way(c).Key()
	v.mu.Lock()
	defer v.mu.Unlock()
	if known := v.clients[key]; known != nil {
		return known, nil
	}
	made, err := v.Endpoints.Client(v.Client, v.way(c))
	if err != nil {
		return nil, err
	}
	if v.clients == nil {
		v.clients = map[string]*http.Client{}
	}
	v.clients[key] = made
	return made, nil
}
