/** How a resource is called in the document, in problems and in messages. */
export interface Words {
  /** `bankAccount` */
  name: string
  /** `bank account` */
  singular: string
  /** `a bank account` */
  indefinite: string
  /** `BankAccount`, the name of its schema */
  title: string
  /** `Bank account`, as a sentence begins */
  capitalized: string
  /** `bank accounts` */
  plural: string
  /** `BankAccounts`, in operation ids */
  pluralTitle: string
  /** `bank-accounts`, the tag of the document and the first part of the scopes */
  collection: string
}

/** Whether a text is a name in camel case, and not one that every object has, such as `constructor`. */
export const isName = (text: string) => /^[a-z][A-Za-z0-9]*$/.test(text) && !(text in {})

/** What the rows of a table are called: `bank accounts` for `bank_accounts`. */
export const pluralOf = (table: string) => table.replaceAll('_', ' ')

const capitalize = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/**
 * @param name of one item, in camel case: `bankAccount`
 * @param table the name of the table, which is that of all items: `bank_accounts`
 */
export function wordsOf(name: string, table: string): Words {
  const singular = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  const words = table.split('_')
  return {
    name,
    singular,
    indefinite: `${/^[aeiou]/.test(singular) ? 'an' : 'a'} ${singular}`,
    title: capitalize(name),
    capitalized: capitalize(singular),
    plural: pluralOf(table),
    pluralTitle: words.map(capitalize).join(''),
    collection: words.join('-')
  }
}
