/**
 * A subject of the cases `forwarding` and `pause`: a C program on AF_XDP (yardstick/reflect.c, balance.c) behind the steering
 * program that this process attaches and that ends with it. Arguments: the compiled program, and what comes after its interface.
 * Runs inside its namespace until SIGTERM or the program's end; prints the program's lines, of which the first is `ready PID`.
 */
import { startLineProcess } from '../line-process.ts';
import { steerService } from './steer.ts';

const { link, socketMapFd, attach } = steerService();
const [program, ...rest] = process.argv.slice(2);
const subject = startLineProcess(program, [program, `${link.index}`, ...rest], { descriptors: [socketMapFd] });
process.once('SIGTERM', () => process.exit(0));
subject.child.once('exit', (code) => process.exit(code ?? 1));
const ready = await subject.next();
attach();
for (let line = ready; ; line = await subject.next()) process.stdout.write(`${line}\n`);
