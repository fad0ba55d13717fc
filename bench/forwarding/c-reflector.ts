/**
 * A subject of case `forwarding`: the C reflector (yardstick/reflect.c) behind the steering program that this process attaches
 * and that ends with it. Argument: the compiled program. Runs inside its namespace until SIGTERM or the program's end; prints
 * the program's `ready PID`.
 */
import { startLineProcess } from '../line-process.ts';
import { steerService } from './steer.ts';

const { link, socketMapFd, attach } = steerService();
const reflector = startLineProcess('C reflector', [process.argv[2], `${link.index}`], { descriptors: [socketMapFd] });
process.once('SIGTERM', () => process.exit(0));
reflector.child.once('exit', (code) => process.exit(code ?? 1));
const ready = await reflector.next();
attach();
process.stdout.write(`${ready}\n`);
