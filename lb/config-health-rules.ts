/**
 * Health checks of a service that contradict themselves or their service. lb/config-services.ts yields these findings beside
 * its own; like those they look at what the file says, right or wrong.
 */
import { type Finding, field, type Path } from './config-problems.ts';
import { isSinglePort, parsePorts, portPhrase } from './ports.ts';

const HTTP_KEYS = ['method', 'path', 'host', 'status', 'body'];

export function* healthContradictions(service: unknown, place: Path): Generator<Finding> {
  const health = field(service, 'health');
  if (typeof health !== 'object' || health === null) return;
  const written = (key: string): unknown => field(health, key);
  const isWritten = (key: string): boolean => written(key) !== undefined;
  const check = written('check') ?? 'tcp';
  const isHttp = check === 'http' || check === 'https';

  const rules: readonly (readonly [key: string, isWrong: boolean, expected: string])[] = [
    ['command', check === 'command' && !isWritten('command'), 'the program that checks, because check is command'],
    ['command', check !== 'command' && isWritten('command'), `not to be set, because check is ${check}`],
    ...HTTP_KEYS.map((key) => [key, !isHttp && isWritten(key), `not to be set, because check is ${check}`] as const),
    ['verify', check !== 'https' && isWritten('verify'), `not to be set, because check is ${check}`],
    [
      'body',
      isHttp && isWritten('body') && written('method') === 'HEAD',
      'not to be set, because an answer to HEAD has no body',
    ],
    ['port', check === 'icmp' && isWritten('port'), 'not to be set, because icmp has no ports'],
    [
      'through',
      written('through') === 'tunnel' && (check === 'icmp' || check === 'command'),
      'direct, because only tcp, http and https checks go through the tunnel',
    ],
  ];
  const path = (key: string): Path => [...place, 'health', key];
  for (const [key, isWrong, expected] of rules) if (isWrong) yield { path: path(key), expected };

  if ((check === 'tcp' || isHttp) && !isWritten('port')) {
    const why = whyNoPort(service);
    if (why !== undefined) yield { path: path('port'), expected: `the TCP port to check, because the service ${why}` };
  }
}

/** Undefined where the service's port is the one to check. */
function whyNoPort(service: unknown): string | undefined {
  if (field(service, 'protocol') === 'udp') return 'is udp';
  const ports = parsePorts(field(service, 'port'));
  return ports === undefined || isSinglePort(ports) ? undefined : `has ${portPhrase(ports)}`;
}
