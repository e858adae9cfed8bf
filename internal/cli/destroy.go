package cli

import (
	"context"
	"errors"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
)

func (a *app) destroyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove a runtime and everything that belongs to it",
		Long: `Destroy ends the sessions of a runtime, removes its versions, endpoints, storage, code and
images, waits until they are gone and lists what it removed. The runtime has to be
named, by --name or by the moorage.yaml of this directory.`,
		Example: `  moorage destroy --name hello`,
		Args:    arguments(cobra.NoArgs),
	}
	name := a.nameFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.destroy(cmd.Context(), firstOf(*name, configuredName()))
	}
	return cmd
}

func (a *app) destroy(ctx context.Context, name string) error {
	if name == "" {
		return advise(usagef("which runtime is to be destroyed?"), "name it: --name NAME (see: moorage status --all)")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	rt, err := c.runtime(ctx, name)
	if err != nil {
		return err
	}
	p := newProgress(a.ui)
	defer p.close()
	p.begin("destroy %s", name)
	answer := struct {
		Removed []string `json:"removed"`
	}{Removed: []string{}}
	if err := c.v1(ctx, "DELETE", "runtimes/"+url.PathEscape(aws.ToString(rt.AgentRuntimeId)), nil, &answer); err != nil {
		return err
	}
	p.close()
	if a.json {
		return a.ui.object(answer)
	}
	if len(answer.Removed) == 0 {
		return errors.New("the server did not say what it removed")
	}
	for _, what := range answer.Removed {
		a.ui.printf("removed %s\n", what)
	}
	return nil
}
