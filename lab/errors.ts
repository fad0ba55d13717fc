/**
 * What the lab says when it cannot go on: one line that tells what to do. cli/lab.ts prints the message, without a stack.
 */

export type LabErrorCode =
  | 'LAB_NOT_ROOT'
  | 'LAB_PROGRAM_MISSING'
  | 'LAB_NETWORK'
  | 'LAB_PROCESS'
  | 'LAB_TIMEOUT'
  | 'LAB_REPORT';

export class LabError extends Error {
  override readonly name = 'LabError';
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
