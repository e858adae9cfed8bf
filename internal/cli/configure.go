package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"
)

func (a *app) configureCmd() *cobra.Command {
	var flags projectFlags
	cmd := &cobra.Command{
		Use:   "configure [DIR]",
		Short: "Write moorage.yaml, so that deploy needs no flags",
		Long: `Configure writes the settings of the agent in DIR (default: here) to moorage.yaml. It
starts from the moorage.yaml that is there, else from a .bedrock_agentcore.yaml of
the AgentCore starter toolkit, whose role and region are left out.`,
		Example: `  moorage configure ./hello --name hello --entrypoint agent.py
  moorage configure --env MODEL=small --idle-timeout 5m`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.project(cmd, args, &flags)
			if err != nil {
				return err
			}
			if p.Protocol == "HTTP" {
				p.Protocol = "" // the default goes without saying
			}
			if err := p.write(); err != nil {
				return err
			}
			if p.file == toolkitFile {
				a.ui.note("taken from %s; its role and region belong to AWS and were left out", toolkitFile)
			}
			path := filepath.Join(p.dir, projectFile)
			if a.json {
				return a.ui.object(map[string]string{"file": path, "name": p.Name})
			}
			a.ui.printf("wrote %s for %s\n", short(path), p.Name)
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}
