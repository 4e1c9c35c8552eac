/** A node of a query as PostgreSQL has parsed it (`pg_node_tree`): its members may be nodes, lists or words. */
interface Node {
  type: string
  members: Record<string, Value[]>
}
type Value = Node | Value[] | string

/** Reads what PostgreSQL writes of a parsed query. */
export function parseNodeTree(text: string): Value[] {
  const words = text.match(/[(){}]|(?:\\.|[^\s(){}\\])+/g) ?? []
  let at = 0
  const list = (end: string): Value[] => {
    const values: Value[] = []
    while (at < words.length && words[at] !== end) values.push(value())
    at++
    return values
  }
  const value = (): Value => {
    const word = words[at++] ?? ''
    if (word === '(') return list(')')
    if (word !== '{') return word
    const node: Node = { type: words[at++] ?? '', members: {} }
    let member: Value[] = []
    while (at < words.length && words[at] !== '}') {
      const next = words[at] ?? ''
      if (/^:[a-z]/i.test(next)) {
        at++
        member = []
        node.members[next.slice(1)] = member
      } else member.push(value())
    }
    at++
    return node
  }
  return list('')
}

const isNode = (value: Value): value is Node => typeof value === 'object' && !Array.isArray(value)
const childrenOf = (value: Value): Value[] =>
  typeof value === 'string' ? [] : Array.isArray(value) ? value : Object.values(value.members).flat()

/** All nodes in `value`, itself included. */
const nodesIn = (value: Value): Node[] => [...(isNode(value) ? [value] : []), ...childrenOf(value).flatMap(nodesIn)]

/** The number of the function that a node calls: also of the one behind an operator. */
const functionOf = ({ members }: Node) => String((members.funcid ?? members.opfuncid)?.[0] ?? '')

/** The numbers of all functions that are called in a parsed query. */
export const functionsIn = (tree: Value[]) =>
  tree
    .flatMap(nodesIn)
    .map(functionOf)
    .filter((number) => number !== '')

/** `pg_proc.provolatile`: immutable, stable or volatile. */
export type Volatility = 'i' | 's' | 'v'

const CONDITIONAL = new Set(['CASEEXPR', 'COALESCEEXPR'])
const VALUE_OF_NOW = 'SQLVALUEFUNCTION'

/**
 * Why Citus refuses a write on a distributed table; undefined when it does not. It evaluates functions once, on the
 * coordinator, and sends their values to the nodes. It cannot do that where the value depends on the row, or where the
 * function may not be called at all. (`ModifyQuerySupported` in Citus's multi_router_planner.c.)
 *
 * @param volatility of the functions, by their numbers
 */
export function refusal(tree: Value[], volatility: ReadonlyMap<string, Volatility>): string | undefined {
  const query = tree.flatMap(nodesIn).find(({ type }) => type === 'QUERY')
  // A select is 1.
  if (query === undefined || query.members.commandType?.[0] === '1') return undefined
  const of = (node: Node): Volatility => (node.type === VALUE_OF_NOW ? 's' : (volatility.get(functionOf(node)) ?? 'i'))
  const { returningList = [], targetList = [], jointree = [] } = query.members
  if (returningList.flatMap(nodesIn).some((node) => of(node) !== 'i')) {
    return 'returning calls a function that is not immutable'
  }
  if (query.members.commandType?.[0] === '3') {
    const selects = targetList.flatMap(nodesIn).some(({ type }) => type === 'SUBLINK')
    return selects ? 'insert has a subselect' : undefined
  }
  for (const node of [...targetList, ...jointree].flatMap(nodesIn)) {
    if (of(node) === 'v') return 'the write calls a volatile function'
    const within = childrenOf(node).flatMap(nodesIn)
    if (CONDITIONAL.has(node.type) && within.some((one) => of(one) !== 'i')) {
      return 'case or coalesce calls a function that is not immutable'
    }
    if (of(node) === 's' && within.some(({ type }) => type === 'VAR')) return 'a stable function gets a column'
  }
  return undefined
}
