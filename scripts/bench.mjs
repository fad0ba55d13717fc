/**
 * `npm run bench`: set-up, then the benchmarks. Arguments are handed on to bench/main.ts.
 *
 * See check-node.mjs for why this file keeps to old syntax.
 */
import './check-node.mjs';

void Promise.all([import('./steps.mjs'), import('./setup.mjs'), import('./debian.mjs')]).then(
  ([{ handOver, main }, { setUp }, { haproxy, nftables, nginx, nginxStream, wrk }]) =>
    main(async () => {
      await setUp([
        wrk,
        nginxStream,
        Object.assign({}, nginx, { without: 'real-tcp is not measured' }),
        Object.assign({}, haproxy, { without: 'real-tcp is not compared with HAProxy' }),
        Object.assign({}, nftables, { without: 'nothing is compared with nftables NAT' }),
      ]);
      const { code } = await handOver(process.execPath, ['dist/bench/main.js', ...process.argv.slice(2)]);
      return code;
    }),
);
