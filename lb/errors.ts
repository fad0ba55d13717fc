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
