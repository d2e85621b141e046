/** What a rule has to say about a place in the checkout. A note never fails the gate. */
export interface Finding {
  readonly level: 'fail' | 'note';
  readonly path: string;
  /** From 1; 0 when the finding is about the file as a whole. */
  readonly line: number;
  readonly message: string;
}

export function failure(path: string, line: number, message: string): Finding {
  return { level: 'fail', path, line, message };
}

export function formatFinding(finding: Finding): string {
  const place = finding.line === 0 ? finding.path : `${finding.path}:${finding.line}`;
  return `${finding.level === 'fail' ? 'FAIL' : 'note'} ${place}: ${finding.message}`;
}
