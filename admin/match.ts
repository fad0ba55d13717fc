/**
 * Which operation a request means: its path against the paths of the routes. Used by admin/answer.ts. Pure.
 */
import { RequestError } from './errors.ts';
import type { Route } from './route.ts';

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** Throws RequestError 404 where no operation has the path, 405 where one has it with another method. */
export function matchRoute(routes: readonly Route[], method: string, path: string): Match {
  const matches = routes.flatMap((route) => {
    const params = paramsOf(route.path, path);
    return params === undefined ? [] : [{ route, params }];
  });
  if (matches.length === 0) {
    throw new RequestError(
      404,
      'NO_SUCH_PATH',
      `there is nothing at ${path}: GET /v1/openapi.json lists what there is`,
    );
  }
  const match = matches.find(({ route }) => route.method === method);
  if (match !== undefined) return match;
  const methods = matches.map(({ route }) => route.method);
  throw new WrongMethod(methods, `${path} takes ${methods.join(', ')}, not ${method}`);
}

export class WrongMethod extends RequestError {
  readonly methods: readonly string[];

  constructor(methods: readonly string[], message: string) {
    super(405, 'WRONG_METHOD', message);
    this.methods = methods;
  }
}

/** Undefined where the path is another. */
function paramsOf(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const steps = path.split('/');
  if (steps.length !== wanted.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, step] of wanted.entries()) {
    const name = /^\{(\w+)\}$/.exec(step)?.[1];
    if (name === undefined) {
      if (step !== steps[i]) return undefined;
    } else {
      params[name] = decoded(steps[i]);
    }
  }
  return params;
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    throw new RequestError(400, 'BAD_REQUEST', 'the path has a % that begins no character');
  }
}
