/** The labels before an event that changed them: who watches by a selector sees microVMs come and go by it. */
export const labelsBefore = `
ALTER TABLE events ADD COLUMN labels_before TEXT;
`;
