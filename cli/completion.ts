/**
 * The help of `hushlb completion`. yargs has the command itself, and prints the script whatever else is asked for: main.ts puts
 * this in its place where it is the help.
 */
import type { CommandModule } from 'yargs';

export const COMPLETION_SUMMARY = 'Print a completion script for bash, zsh or fish';

export const completionHelp: CommandModule = {
  command: 'completion',
  describe: COMPLETION_SUMMARY,
  builder: (yargs) =>
    yargs
      .usage(
        '$0 completion\n\nPrints a script that completes commands, options and their values, for the shell that the ' +
          'variable SHELL names; its first lines say where it belongs.',
      )
      .example('$0 completion >> ~/.bashrc', 'bash')
      .example('$0 completion >> ~/.zshrc', 'zsh')
      .example('$0 completion > ~/.config/fish/completions/hushlb.fish', 'fish'),
  handler: () => {},
};
