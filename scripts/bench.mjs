/**
 * `npm run bench`: set-up, then the benchmarks. Arguments are handed on to bench/main.ts.
 *
 * See check-node.mjs for why this file keeps to old syntax.
 */
import './check-node.mjs';

/** A Debian package, as in debian.mjs. */
const nftables = {
  name: 'nftables',
  command: 'nft',
  services: ['nftables'],
  without: 'forwarding and stateful-stateless are not compared with nftables',
};

void Promise.all([import('./steps.mjs'), import('./setup.mjs')]).then(([{ handOver, main }, { setUp }]) =>
  main(async () => {
    await setUp([nftables]);
    const { code } = await handOver(process.execPath, ['dist/bench/main.js', ...process.argv.slice(2)]);
    return code;
  }),
);
