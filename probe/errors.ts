/**
 * What keeps the probe from measuring: one line that says what to do, with a stable `code`. The command line prints the
 * line and exits with 1.
 */
export class ProbeError extends Error {
  override readonly name = 'ProbeError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
