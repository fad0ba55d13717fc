/**
 * A subject of case `forwarding`: the C reflector on a packet socket (yardstick/reflect-packet.c), behind the same socket filter and
 * guard as hushlb's. Argument: the compiled program. Runs inside its namespace until SIGTERM or the program's end; prints the
 * program's `ready PID`.
 */
import { startLineProcess } from '../line-process.ts';
import { tapService } from './steer.ts';

const { link, filterFd } = await tapService();
const reflector = startLineProcess('C packet reflector', [process.argv[2], `${link.index}`], {
  descriptors: [filterFd],
});
process.once('SIGTERM', () => process.exit(0));
reflector.child.once('exit', (code) => process.exit(code ?? 1));
process.stdout.write(`${await reflector.next()}\n`);
