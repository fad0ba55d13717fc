/** A service as doctor's tests have it on a backend. Not a test. */
import type { Target } from '../../doctor/target.ts';

export const TARGET: Target = {
  service: 'web',
  vip: '198.18.10.1',
  protocol: 'tcp',
  ports: { first: 80, last: 80 },
  encap: 'ipip',
  guePort: null,
  overhead: 20,
  outer: 4,
};
