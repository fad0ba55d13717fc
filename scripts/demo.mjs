/**
 * `npm run demo`: set-up, then the lab's three scenarios. Arguments are handed on to `hushlb lab run`.
 *
 * See check-node.mjs for why this file keeps to old syntax.
 */
import './check-node.mjs';

const SCENARIOS = ['stateless', 'round-robin', 'syn-only'];

void Promise.all([import('./steps.mjs'), import('./setup.mjs'), import('./debian.mjs')]).then(
  ([{ Failure, handOver, main }, { setUp }, { nginx }]) =>
    main(async () => {
      // Before the set-up: what it makes would belong to the wrong user.
      if (process.getuid() !== 0) throw new Failure(`the demo makes network namespaces, as root: ${asRoot()}`);
      await setUp([nginx]);
      const args = ['lab', 'run', ...SCENARIOS, ...process.argv.slice(2)];
      const { code } = await handOver(process.execPath, ['dist/cli/main.js', ...args]);
      return code;
    }),
);

/** sudo has a PATH of its own, where a Node in a home directory is not found. */
function asRoot() {
  const systemWide = ['/usr/bin/node', '/usr/local/bin/node', '/bin/node'].includes(process.execPath);
  return systemWide ? 'sudo npm run demo' : 'sudo env "PATH=$PATH" npm run demo';
}
