/**
 * A subject of case `forwarding`: the C reflector on a packet socket (yardstick/reflect-packet.c), behind the same socket filter and
 * guard as hushlb's. Argument: the compiled program. Runs inside its namespace until SIGTERM or the program's end; prints the
 * program's `ready PID`.
 */
import { attachTapGuard } from '../../io/tap-guard.ts';
import { createTapSteering } from '../../io/tap-steering.ts';
import { requireLink } from '../../io/xdp.ts';
import { startLineProcess } from '../line-process.ts';
import { benchService } from './steer.ts';

const { index } = requireLink('eth0');
const steering = createTapSteering();
steering.setServices([benchService]);
const guard = await attachTapGuard({ programFd: steering.guardFd, interfaceIndex: index });
guard.setServices([benchService]);
const reflector = startLineProcess('C packet reflector', [process.argv[2], `${index}`], {
  descriptors: [steering.filterFd],
});
process.once('SIGTERM', () => void guard.detach().then(() => process.exit(0)));
reflector.child.once('exit', (code) => process.exit(code ?? 1));
process.stdout.write(`${await reflector.next()}\n`);
