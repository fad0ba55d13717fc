/**
 * A subject of the cases `forwarding` and `pause`: the C reflector (yardstick/reflect.c) behind the steering program that this
 * process attaches and that ends with it. Arguments: the compiled program, and what comes after its interface. Runs inside its
 * namespace until SIGTERM or the program's end; prints the program's lines, of which the first is `ready PID`.
 */
import { startLineProcess } from '../line-process.ts';
import { steerService } from './steer.ts';

const { link, socketMapFd, attach } = steerService();
const [program, ...rest] = process.argv.slice(2);
const reflector = startLineProcess('C reflector', [program, `${link.index}`, ...rest], { descriptors: [socketMapFd] });
process.once('SIGTERM', () => process.exit(0));
reflector.child.once('exit', (code) => process.exit(code ?? 1));
const ready = await reflector.next();
attach();
process.stdout.write(`${ready}\n`);
if (rest.length > 0) process.stdout.write(`${await reflector.next()}\n`);
