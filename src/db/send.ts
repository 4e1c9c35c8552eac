/**
 * Sends a prepared statement and resolves with its rows: the values of each, in order.
 *
 * @param bytes whether the values are wanted as the bytes of their text
 */
export type Send = (text: string, parameters?: unknown[], bytes?: boolean) => Promise<unknown[][]>

/** Does `work` with `send`, and throws the first failure of what it sent. The work may not have waited for that. */
export async function allOf<R>(work: (send: Send) => Promise<R>, send: Send, failures: unknown[]): Promise<R> {
  const result = await work((...statement) => {
    const answer = send(...statement)
    answer.catch((error) => failures.push(error))
    return answer
  })
  if (failures.length > 0) throw failures[0]
  return result
}
