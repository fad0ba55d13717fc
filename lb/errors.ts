/**
 * The error of everything that an operator can mend: a stable `code` for programs, one line that says what to do for
 * people. The command line prints the line and exits with 1; any other error is a bug and keeps its stack.
 */
export class HushlbError extends Error {
  override readonly name = 'HushlbError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface ExpectedError extends Error {
  readonly code: string;
  /** Every problem, where there are several. */
  readonly lines?: readonly string[];
}

/**
 * Whether it costs one line, whoever threw it: anything with a code, but for Node's own ERR_… codes (a wrong argument type, say),
 * which mean that our code called Node wrongly.
 */
export function isExpected(error: unknown): error is ExpectedError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_');
}
