export const DEFAULT_SORT = '-createdAt'
export const DEFAULT_LIMIT = 50

/** The query of a list: these, and a value for each filter. */
export interface Query {
  [filter: string]: unknown
  limit?: number
  cursor?: string
  sort?: string
  count?: 'exact'
}
