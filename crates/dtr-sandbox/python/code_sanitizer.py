"""Extracts the code of a task from a model's text, as EvalPlus' `sanitize` does, with Python's own parser.

EvalPlus reads statements with tree-sitter. Where Python's parser accepts the text, this module finds the same
statements. It differs where Python's parser rejects all line ranges: then tree-sitter may still find statements
in the first line, and this module returns that line. It also differs on Python 2's `print` statement and on
identifiers that Unicode normalisation changes.
"""

import ast
import re
import warnings

ANSI_ESCAPE = re.compile(r"\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])")
# What may follow the last statement of a block on its line.
REST_OF_LINE = re.compile(rb"(?:[ \t\f]*;)?(?:[ \t\f]*#[^\n]*)?")
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|$)")
TAB_WIDTH = 8


def parse(text):
    """Returns the syntax tree of a text, or None if it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, MemoryError, ValueError, RecursionError):
        return None


def find_longest_code(text):
    """Returns the range of at least two lines that is Python and has most lines that are not blank.

    The first of equal ranges wins. Without such a range, returns the first line.
    """
    lines = text.split("\n")
    num_filled = [0]
    for line in lines:
        num_filled.append(num_filled[-1] + bool(line.strip()))
    ranges = [(start, end) for start in range(len(lines)) for end in range(start + 2, len(lines) + 1)]
    # The sort keeps the order of equal ranges, so the first range that parses is the one to find.
    ranges.sort(key=lambda bounds: num_filled[bounds[0]] - num_filled[bounds[1]])
    for start, end in ranges:
        if num_filled[start] == num_filled[end]:
            break
        code = "\n".join(lines[start:end])
        if parse(code) is not None:
            return code
    return lines[0]


class Source:
    """The bytes of a program, with the offsets of its lines as Python counts lines."""

    def __init__(self, code):
        self.text = code.encode()
        self.line_starts = [match.start() for match in LINE.finditer(self.text)]

    def start(self, node):
        return self.line_starts[node.lineno - 1] + node.col_offset

    def end(self, node):
        return self.line_starts[node.end_lineno - 1] + node.end_col_offset

    def text_of(self, statement):
        is_definition = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        end = self.end_of_definition(statement) if is_definition else self.end(statement)
        return self.text[self.start(statement) : end]

    def end_of_definition(self, definition):
        """Returns the end of a definition, with the comments that tree-sitter counts as part of its block."""
        end = REST_OF_LINE.match(self.text, self.end(definition)).end()
        first = definition.body[0]
        if first.lineno == definition.lineno:
            return end
        indent = self.indent_at(self.line_starts[first.lineno - 1])
        position = self.text.find(b"\n", end) + 1
        while position:
            line_end = self.text.find(b"\n", position)
            line = self.text[position : line_end if line_end >= 0 else len(self.text)]
            if line.strip():
                if not line.lstrip().startswith(b"#") or self.indent_at(position) < indent:
                    break
                end = position + len(line)
            position = line_end + 1
        return end

    def indent_at(self, position):
        indent = 0
        while position < len(self.text) and self.text[position] in b" \t\f":
            byte = self.text[position]
            indent = indent + TAB_WIDTH if byte == 9 else 0 if byte == 12 else indent + 1
            position += 1
        return indent


def has_return(node):
    return any(isinstance(child, ast.Return) for child in ast.walk(node))


def assigned_name(source, statement):
    """Returns the first plain identifier among the direct parts of an assignment: its target or else its value."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    # A difference of offsets means parentheses.
    if isinstance(target, ast.Name) and source.start(target) == source.start(statement):
        return target.id
    value = statement.value
    is_chain = isinstance(statement, ast.Assign) and len(statement.targets) > 1
    if isinstance(value, ast.Name) and not is_chain and source.end(value) == source.end(statement):
        return value.id
    return None


def identifiers(node):
    """Returns all identifiers in a statement: names, attributes, arguments, keywords, and names of imports."""
    found = set()
    for child in ast.walk(node):
        for field in ("id", "attr", "arg", "name", "asname", "rest", "module"):
            value = getattr(child, field, None)
            if isinstance(value, str):
                found.update(value.split("."))
        for field in ("names", "kwd_attrs"):
            found.update(value for value in getattr(child, field, []) if isinstance(value, str))
    return found


def find_reachable(entry_point, definitions):
    used_names = {name: identifiers(node) for name, node in definitions}
    reachable, queue = {entry_point}, [entry_point]
    while queue:
        new = used_names.get(queue.pop(), set()) - reachable
        reachable |= new
        queue.extend(new)
    return reachable


def extract_definitions(code, entry_point):
    """Returns the imports, and the definitions that the entry point needs."""
    tree = parse(code)
    if tree is None:
        return ""
    source, imports, definitions, names = Source(code), [], [], set()
    for node in tree.body:
        if isinstance(node, ast.Import) or isinstance(node, ast.ImportFrom) and node.module != "__future__":
            imports.append(node)
            continue
        if isinstance(node, ast.ClassDef) and not node.decorator_list:
            name = node.name
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.decorator_list:
            if not has_return(node):
                continue
            name = node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            name = assigned_name(source, node)
        else:
            continue
        if name not in names:
            names.add(name)
            definitions.append((name, node))
    if entry_point:
        reachable = find_reachable(entry_point, definitions)
        definitions = [(name, node) for name, node in definitions if name in reachable]
    statements = imports + [node for _, node in definitions]
    return b"\n".join(map(source.text_of, statements)).decode()


def sanitize(text, entry_point):
    code = find_longest_code(ANSI_ESCAPE.sub("", text))
    # The extraction searches the code again. It finds the same code, so once is enough.
    return extract_definitions(code, entry_point).strip() or code
