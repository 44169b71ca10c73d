import { DatabaseSync } from 'node:sqlite';

/** As durable as the daemon's, and no more than what a create has to keep. */
export class FloorDatabase implements Disposable {
  readonly #sql: DatabaseSync;
  readonly #insert;
  readonly #update;
  readonly #remove;
  commits = 0;

  constructor(path: string) {
    this.#sql = new DatabaseSync(path);
    this.#sql.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL');
    this.#sql.exec('CREATE TABLE IF NOT EXISTS rows (owner TEXT, kind TEXT, data TEXT, PRIMARY KEY (owner, kind))');
    this.#insert = this.#sql.prepare('INSERT OR REPLACE INTO rows (owner, kind, data) VALUES (?, ?, ?)');
    this.#update = this.#sql.prepare('UPDATE rows SET data = ? WHERE owner = ? AND kind = ?');
    this.#remove = this.#sql.prepare('DELETE FROM rows WHERE owner = ?');
  }

  /** A record of 1.2 KB, an event with it, five intents. */
  intend(owner: string): void {
    this.transact(() => {
      for (const kind of ['record', 'event']) this.#insert.run(owner, kind, 'x'.repeat(1_200));
      for (let i = 0; i < 5; i++) this.#insert.run(owner, `step${i}`, 'x'.repeat(200));
    });
  }

  /** The record, its event, and that all is made. */
  made(owner: string): void {
    this.transact(() => {
      for (const kind of ['record', 'event']) this.#update.run('y'.repeat(1_200), owner, kind);
      for (let i = 0; i < 5; i++) this.#update.run('y'.repeat(220), owner, `step${i}`);
    });
  }

  gone(owners: readonly string[]): void {
    this.transact(() => {
      for (const owner of owners) this.#remove.run(owner);
    });
  }

  transact(work: () => void): void {
    this.#sql.exec('BEGIN IMMEDIATE');
    work();
    this.#sql.exec('COMMIT');
    this.commits++;
  }

  [Symbol.dispose](): void {
    this.#sql.close();
  }
}
