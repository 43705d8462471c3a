/** How long a campaign is: `FAULTS_KILLS` consumers are killed on each kind of queue, stream and topic. */
export const KILLS: number = Number(process.env.FAULTS_KILLS ?? 100)

/** What is published before each kill. */
export const PIECES = { good: 60, forged: 30 }
