/**
 * A change as an edit of the configuration's text: text in, text out, comments and order kept (spaces in brackets are not), so
 * that what runs can be written as a file at any time, and every rule for a file holds for a change as well. Called by
 * lb/control-plane.ts, and by whoever asks what a change would do.
 */
import * as yaml from 'yaml';
import type { Change } from './change.ts';
import type { Config } from './config.ts';
import { HushlbError } from './errors.ts';

/**
 * The text with the change made; it may break a rule, which `parseConfig` then says.
 *
 * @param text a configuration without mistakes, and `config` what it parses to.
 * @throws HushlbError UNKNOWN_SERVICE or UNKNOWN_BACKEND, BACKEND_EXISTS.
 */
export function editText(text: string, config: Config, change: Exclude<Change, { kind: 'reload' }>): string {
  const document = editable(text);
  if (change.kind === 'mode') {
    document.set('mode', change.mode);
    return document.toString(WRITTEN);
  }
  const i = serviceIndex(config, change.service);
  const backends = ['services', i, 'backends'];
  if (change.kind === 'scheduler') document.setIn(['services', i, 'scheduler'], change.scheduler);
  else if (change.kind === 'add') {
    refuseKnown(config, i, change.backend.name);
    const node = document.createNode(JSON.parse(JSON.stringify(change.backend)), { flow: true });
    document.addIn(backends, node);
  } else {
    const path = [...backends, backendIndex(config, i, change.backend)];
    if (change.kind === 'remove') document.deleteIn(path);
    else if (change.kind === 'weight') document.setIn([...path, 'weight'], change.weight);
    else if (change.kind === 'drain') document.setIn([...path, 'state'], 'draining');
    else document.deleteIn([...path, 'state']);
  }
  return document.toString(WRITTEN);
}

/** Lines are not folded: what was not edited stays as it was. */
const WRITTEN: yaml.ToStringOptions = { lineWidth: 0 };

/** What an alias stands for cannot be edited in one of its places: such a text is written out first. */
function editable(text: string): yaml.Document {
  const document = yaml.parseDocument(text, { schema: 'core' });
  let hasAlias = false;
  yaml.visit(document, {
    Alias() {
      hasAlias = true;
      return yaml.visit.BREAK;
    },
  });
  return hasAlias ? new yaml.Document(document.toJS(), { schema: 'core', aliasDuplicateObjects: false }) : document;
}

export function serviceIndex({ services }: Config, name: string): number {
  const i = services.findIndex((service) => service.name === name);
  if (i >= 0) return i;
  const known = listed(services.map((service) => service.name));
  throw new HushlbError('UNKNOWN_SERVICE', `there is no service ${name}: the configuration that runs has ${known}`);
}

export function backendIndex({ services }: Config, service: number, name: string): number {
  const { name: owner, backends } = services[service];
  const i = backends.findIndex((backend) => backend.name === name);
  if (i >= 0) return i;
  const known = listed(backends.map((backend) => backend.name));
  throw new HushlbError('UNKNOWN_BACKEND', `service ${owner} has no backend ${name}: it has ${known}`);
}

function refuseKnown({ services }: Config, service: number, name: string): void {
  const { name: owner, backends } = services[service];
  if (!backends.some((backend) => backend.name === name)) return;
  throw new HushlbError(
    'BACKEND_EXISTS',
    `service ${owner} has a backend ${name} already: hushlb weight or hushlb undrain changes it`,
  );
}

const MOST_NAMED = 8;

/** The first of them, and how many more there are. */
export function listed(names: readonly string[]): string {
  const rest = names.length - MOST_NAMED;
  return rest > 0 ? `${names.slice(0, MOST_NAMED).join(', ')} and ${rest} more` : names.join(', ');
}
