/** What is asked of the store's thread, and what it answers. Plain data: it crosses threads. */
import type { PackedRows } from './packed-rows.ts';
import type { SqliteFailure, Statement } from './sqlite-file.ts';

export type StoreJob =
  /** One transaction on state.db, committed durably (synchronous FULL). The file must have its format already. */
  | {
      readonly kind: 'change';
      readonly path: string;
      /** Of the file that was opened: another one there is not ours. Null: any. */
      readonly inode: number | null;
      readonly statements: readonly Statement[];
    }
  /** Rows for activity.db, which is made, renewed or replaced where needed; then a step of pruning. */
  | {
      readonly kind: 'activity';
      readonly path: string;
      readonly rows: PackedRows;
      /** Of the file's rows the newest ones that stay. */
      readonly rowsMax: number;
      /** Rows that ended before go. */
      readonly oldestMs: number;
    };

export type StoreAnswer =
  /** `more`: rows are left to prune. `notice`: a file was replaced; a sentence. */
  | { readonly ok: true; readonly more: boolean; readonly notice: string | null }
  | {
      readonly ok: false;
      readonly text: string;
      /** `lost`: the thread died or did not answer, and nobody knows whether it was done. */
      readonly failure: SqliteFailure | 'lost';
    };

export type StoreMessage = { readonly id: number; readonly job: StoreJob } | 'close';

export interface StoreReply {
  readonly id: number;
  readonly answer: StoreAnswer;
}
