"""What the documentation shows runs."""
import importlib.util
import re

import matplotlib.pyplot as plt
import pytest
from conftest import PROJECT


def test_the_page(tmp_path, monkeypatch):
    """All code of docs/python.md, one block after the other."""
    for name in ("models", "data"):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (PROJECT / "docs/python.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 7
    names = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    plt.close("all")
    assert (tmp_path / "params.json").exists() and names["answer"].risky
    assert names["states"].shape[1:] == (1, names["model"].n_embd) and len(names["risk"]) == 300


def test_the_notebook(tmp_path, monkeypatch):
    for module in ("nbclient", "nbformat", "ipykernel"):
        if not importlib.util.find_spec(module):
            pytest.skip(f"Python has no {module}")
    import nbclient
    import nbformat
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    saved = nbformat.read(PROJECT / "docs/python.ipynb", 4)
    fresh = nbformat.read(PROJECT / "docs/python.ipynb", 4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbclient.NotebookClient(fresh, timeout=3600, resources={"metadata": {"path": str(PROJECT / "docs")}}).execute()
    kinds = [[[(output.output_type, sorted(output.get("data", {}))) for output in cell.get("outputs", [])]
              for cell in notebook.cells] for notebook in (saved, fresh)]
    assert kinds[0] == kinds[1]
    text = "".join(output.get("text", "") for cell in fresh.cells for output in cell.get("outputs", []))
    assert "600 answers" in text and "Halt: before the token" in text
