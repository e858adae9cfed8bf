package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

// tagInject is on at a runtime whose agents send placeholders for credentials; at a credential provider, with a colon and
// anything after it, it holds one rule.
const tagInject = "moorage:inject"

// ruleTags are the tags of a credential provider that hold a project's rules. Each project has its own, so that projects
// that share a credential leave each other's rules alone.
func (p *project) ruleTags(provider string) map[string]string {
	tags := map[string]string{}
	for i, rule := range p.Inject[provider] {
		tags[fmt.Sprintf("%s%d", p.rulePrefix(), i+1)] = rule
	}
	return tags
}

func (p *project) rulePrefix() string { return tagInject + ":" + p.Name + "." }

// inject brings the rules of credential providers to what the project says of them, and takes back those that it no
// longer says.
func (d *deployer) inject(ctx context.Context) error {
	if len(d.project.Inject) == 0 && !d.injected {
		return nil
	}
	d.progress.begin("rules for credentials")
	defer d.progress.drop()
	kept, err := d.client.keptCredentials(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, provider := range kept {
		if seen[provider.Name] { // an API key comes first, also when a call is made
			continue
		}
		seen[provider.Name] = true
		if err := d.setRules(ctx, provider); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.project.Inject)) {
		if !seen[name] {
			return advise(fmt.Errorf("%s injects the credential %q, and there is none of that name", projectFile, name), "keep it first: moorage credentials create %s", shellWord(name))
		}
	}
	return nil
}

func (d *deployer) setRules(ctx context.Context, provider kept) error {
	have, err := d.client.control.ListTagsForResource(ctx, &control.ListTagsForResourceInput{ResourceArn: &provider.ARN})
	if err != nil {
		return err
	}
	want := d.project.ruleTags(provider.Name)
	var stale []string
	for key, value := range have.Tags {
		switch rule, ok := want[key]; {
		case ok && rule == value:
			delete(want, key)
		case !ok && strings.HasPrefix(key, d.project.rulePrefix()):
			stale = append(stale, key)
		}
	}
	if len(want) > 0 {
		if _, err := d.client.control.TagResource(ctx, &control.TagResourceInput{ResourceArn: &provider.ARN, Tags: want}); err != nil {
			return fmt.Errorf("the rules for the credential %s: %w", provider.Name, err)
		}
	}
	if len(stale) > 0 {
		_, err = d.client.control.UntagResource(ctx, &control.UntagResourceInput{ResourceArn: aws.String(provider.ARN), TagKeys: stale})
	}
	return err
}
