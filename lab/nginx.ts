/**
 * nginx on a host of the lab: what every configuration of it has around what it serves. One process, in the foreground, without
 * logs of access, and all that it writes in a directory of its own. The backends use it, the balancers that are nginx, and
 * bench/tcp/.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { findProgram } from './programs.ts';

export interface NginxSettings {
  /** Its own; made here. */
  readonly directory: string;
  /** What it tells of on stderr. A balancer whose servers refuse it tells of each one: `crit` leaves that out. */
  readonly errors?: 'error' | 'crit';
  /** Files of dynamic modules. */
  readonly modules?: readonly string[];
  /** Blocks `http { }` or `stream { }`. */
  readonly blocks: readonly string[];
}

/** Writes its configuration, and returns the command that runs it. */
export function writeNginx(settings: NginxSettings): string[] {
  const { directory } = settings;
  const file = `${directory}/nginx.conf`;
  mkdirSync(directory);
  writeFileSync(file, configuration(settings));
  return [findProgram('nginx') ?? 'nginx', '-p', directory, '-c', file, '-e', 'stderr'];
}

function configuration({ directory, errors = 'error', modules = [], blocks }: NginxSettings): string {
  return `${modules.map((module) => `load_module ${module};\n`).join('')}daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr ${errors};
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
${blocks.join('\n')}
`;
}

/** A connection is closed for idling alone, never for the number of its requests. */
export function httpBlock(directory: string, lines: readonly string[]): string {
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `  ${kind}_temp_path ${directory}/${kind};`,
  );
  return `http {
  access_log off;
${scratch.join('\n')}
  keepalive_requests 1000000;
${lines.join('\n')}
}`;
}
