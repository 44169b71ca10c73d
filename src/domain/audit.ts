/** One thing that an audit tells of. */
export interface AuditItem {
  readonly kind: string;
  readonly name: string;
  readonly owner: string;
  readonly detail: string;
  /** Nothing proves whose it is, or whether it is there: it is left alone. */
  readonly isUnclear?: boolean;
}

/** The host beside the ledger. */
export interface AuditReport {
  readonly known: readonly AuditItem[];
  readonly leaked: readonly AuditItem[];
  readonly missing: readonly AuditItem[];
  /** Leaks that were undone. */
  readonly fixed: readonly AuditItem[];
}
