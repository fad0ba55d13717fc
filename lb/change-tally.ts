/** What has been asked of a control plane, counted for its metrics. lb/control-plane.ts counts, lb/exporter.ts reads. */

/** `reload`: of the file; `runtime`: an edit of what runs. */
export type ChangeOrigin = 'reload' | 'runtime';

export interface ChangeTally {
  readonly counts: readonly {
    readonly kind: ChangeOrigin;
    readonly result: 'applied' | 'refused';
    readonly count: number;
  }[];
  /** By the wall clock: of the last one that was applied, before that of the start. */
  readonly lastChangeMs: number;
  readonly lastReloadGood: boolean;
}

export interface TallyKeeper {
  readonly tally: ChangeTally;
  applied(kind: ChangeOrigin): void;
  refused(kind: ChangeOrigin): void;
}

/** `wallClock` in milliseconds since 1970. */
export function createTally(wallClock: () => number = Date.now): TallyKeeper {
  const counts = (['reload', 'runtime'] as const).flatMap((kind) =>
    (['applied', 'refused'] as const).map((result) => ({ kind, result, count: 0 })),
  );
  const tally = { counts, lastChangeMs: wallClock(), lastReloadGood: true };

  function count(kind: ChangeOrigin, result: 'applied' | 'refused'): void {
    for (const row of counts) if (row.kind === kind && row.result === result) row.count++;
    if (kind === 'reload') tally.lastReloadGood = result === 'applied';
  }

  return {
    tally,
    applied(kind) {
      count(kind, 'applied');
      tally.lastChangeMs = wallClock();
    },
    refused: (kind) => count(kind, 'refused'),
  };
}
