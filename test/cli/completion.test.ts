/** `hushlb completion`, as the shells use it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { COMMANDS, hushlb, MAIN } from './command.ts';

test('completion: the script is for the shell at hand and completes commands and options', async () => {
  const { code, stdout: script } = await hushlb(['completion'], { SHELL: '/bin/bash' });
  assert.equal(code, 0);
  assert.match((await hushlb(['completion'], { SHELL: '/bin/zsh' })).stdout, /^#compdef hushlb/);
  assert.match((await hushlb(['completion'], { SHELL: '/usr/bin/fish' })).stdout, /complete .*-c hushlb/);

  const complete = (...words: string[]): string[] => {
    const { stdout, stderr } = spawnSync(
      'bash',
      [
        '-c',
        `hushlb() { "$NODE" "$MAIN" "$@"; }
         eval "$SCRIPT"
         COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
         _hushlb_yargs_completions
         printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        ...words,
      ],
      { env: { ...process.env, NODE: process.execPath, MAIN, SCRIPT: script, SHELL: '/bin/bash' }, encoding: 'utf8' },
    );
    assert.equal(stderr, '');
    return stdout.split('\n').filter((word) => word !== '');
  };
  assert.deepEqual(complete('hushlb', '').sort(), [...COMMANDS].sort());
  assert.deepEqual(complete('hushlb', 'dec'), ['decap']);
  assert.deepEqual(complete('hushlb', 'table', '--s'), ['--service', '--s']);
  assert.deepEqual(complete('hushlb', 'run', '--log-format', '').sort(), ['auto', 'json', 'pretty']);
});
